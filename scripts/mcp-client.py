"""The official client of the Model Context Protocol (PyPI mcp 2.3), doing what docs/agents.md says.

    mcp-client.py stdio PROGRAM FOLDER DATA_DIR
    mcp-client.py http URL FOLDER KEY
"""

import asyncio
import os
import sys
from contextlib import asynccontextmanager

import httpx2
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client


@asynccontextmanager
async def connected(kind, where, folder, secret):
    if kind == "stdio":
        server = StdioServerParameters(
            command=where,
            args=["mcp"],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": folder, "EMBEDDER_DATA_DIR": secret},
        )
        async with stdio_client(server) as (read, write):
            yield read, write
    else:
        headers = {"Authorization": f"Bearer {secret}", "X-Embedder-Root": folder}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as client:
            async with streamable_http_client(where, http_client=client) as (read, write):
                yield read, write


async def main(kind, where, folder, secret):
    folder = os.path.realpath(folder)
    told = []

    async def progress(done, total, message):
        told.append((done, total, message))

    async with connected(kind, where, folder, secret) as (read, write):
        async with ClientSession(read, write) as session:
            begun = await session.initialize()
            assert begun.server_info.name == "embedder", begun
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            assert set(tools) == {"search", "related", "read", "index", "status"}, tools
            assert tools["search"].annotations.read_only_hint is True, tools["search"]

            async def call(name, **arguments):
                answer = await session.call_tool(name, arguments, progress_callback=progress)
                return answer.is_error, answer.content[0].text

            failed, text = await call("search", query="switch_on")
            assert failed and "call `index`" in text, text
            failed, text = await call("index")
            assert not failed and "1 of 1 files changed" in text, text
            assert told, "no progress"
            failed, text = await call("search", query="switch_on")
            assert not failed and "src/lamp.py:1-2" in text, text
            failed, text = await call("read", path="src/lamp.py", **{"from": 2})
            assert not failed and "2|     lamp.light = True" in text, text
            failed, text = await call("status")
            assert not failed and "1 file" in text, text
    print("ok")


asyncio.run(main(*sys.argv[1:]))
