"""Uses the official OpenAI client, as it is, against a server. Usage: openai-client.py URL KEY"""

import math
import sys

import openai

url, key = sys.argv[1:]
client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60)


def refusal(kind, call):
    """Makes a call that must be refused by an exception of this kind, and returns it."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


models = client.models.list().data
assert len(models) == 1, models
model = models[0].id

# By itself the client asks for base64 and decodes it.
one = client.embeddings.create(model=model, input="The harbour opens at dawn.")
vector = one.data[0].embedding
assert len(vector) == 384 and math.isclose(sum(x * x for x in vector), 1, abs_tol=1e-4), len(vector)
assert one.object == "list" and one.usage.prompt_tokens == one.usage.total_tokens > 2, one.usage

several = client.embeddings.create(model=model, input=["The harbour opens at dawn.", "A violin."])
assert [row.index for row in several.data] == [0, 1]
assert several.data[0].embedding == vector

numbers = client.embeddings.create(
    model=model, input="The harbour opens at dawn.", encoding_format="float", dimensions=384, user="somebody"
)
assert all(math.isclose(a, b, abs_tol=1e-7) for a, b in zip(numbers.data[0].embedding, vector, strict=True))

tokens = client.embeddings.create(model=model, input=[7592, 2088])
words = client.embeddings.create(model=model, input="hello world")
assert tokens.data[0].embedding == words.data[0].embedding

error = refusal(openai.BadRequestError, lambda: client.embeddings.create(model=model, input="a", dimensions=7))
assert error.code == "invalid_request" and error.type == "invalid_request_error", error.body
assert "384" in error.message and error.request_id, error.message
error = refusal(openai.BadRequestError, lambda: client.embeddings.create(model=model, input="word " * 2000))
assert "truncate" in error.message, error.message
client.embeddings.create(model=model, input="word " * 2000, extra_body={"truncate": True})
error = refusal(openai.NotFoundError, lambda: client.embeddings.create(model="text-embedding-3-small", input="a"))
assert error.code == "not_found", error.body
stranger = client.with_options(api_key="emb_nonsense")
error = refusal(openai.AuthenticationError, stranger.models.list)
assert error.code == "unauthenticated", error.body
print("ok")
