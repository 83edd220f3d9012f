"""An independent forward pass of BERT sentence encoders in float64, and the fixtures that it writes.

It reads config.json, tokenizer.json and model.safetensors with json and numpy alone and shares nothing with the Rust
encoder, so that agreement of the two says something. Two sets of fixtures come out of it:

* `minilm.json`: 140 texts with tokens and vectors of all-MiniLM-L6-v2 (needs the model's folder);
* `tiny-bert/`: a random model with awkward sizes, small enough to be checked in, and the vectors of its variants
  (mean and cls pooling, prompts, weights in F16, tensor names with the prefix "bert.").

    pip install numpy tokenizers
    python eval/reference/bert_float64.py --model FOLDER --out crates/embedder-inference/tests/fixtures

Vectors are written as base64 of little-endian float32. The output is the same bytes each time.
"""

import argparse
import base64
import json
import math
import pathlib
import struct

import numpy as np
from tokenizers import Tokenizer

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64}
ERF = np.vectorize(math.erf, otypes=[np.float64])


# ---- the reference ---------------------------------------------------------------------------------------------------


def read_safetensors(path):
    """Tensors by name, without a leading "bert."."""
    data = path.read_bytes()
    (header_len,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + header_len])
    body = data[8 + header_len :]
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        values = np.frombuffer(body[start:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        tensors[name.removeprefix("bert.")] = values.astype(np.float64)
    return tensors


def layer_norm(x, weights, name, epsilon):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * weights[name + ".weight"] + weights[name + ".bias"]


def linear(x, weights, name):
    return x @ weights[name + ".weight"].T + weights[name + ".bias"]


def token_states(ids, weights, config):
    """The last layer's state of each token of one text."""
    epsilon, heads = config["layer_norm_eps"], config["num_attention_heads"]
    size = config["hidden_size"] // heads
    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.token_type_embeddings.weight"][0]
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = layer_norm(x, weights, "embeddings.LayerNorm", epsilon)
    for index in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{index}."
        query, key, value = (linear(x, weights, layer + "attention.self." + part) for part in ("query", "key", "value"))
        context = np.empty_like(x)
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scores = query[:, part] @ key[:, part].T / math.sqrt(size)
            scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
            context[:, part] = scores / scores.sum(axis=-1, keepdims=True) @ value[:, part]
        x = x + linear(context, weights, layer + "attention.output.dense")
        x = layer_norm(x, weights, layer + "attention.output.LayerNorm", epsilon)
        inner = linear(x, weights, layer + "intermediate.dense")
        inner = 0.5 * inner * (1.0 + ERF(inner / math.sqrt(2.0)))
        x = x + linear(inner, weights, layer + "output.dense")
        x = layer_norm(x, weights, layer + "output.LayerNorm", epsilon)
    return x


def text_vector(ids, weights, config, pooling, normalize):
    states = token_states(ids, weights, config)
    vector = states[0] if pooling == "cls" else states.mean(axis=0)
    return vector / np.linalg.norm(vector) if normalize else vector


def tokenize(tokenizer, text, max_tokens):
    """Ids with the middle's tail cut, so that the last token stays the closing special token."""
    ids = tokenizer.encode(text).ids
    return ids if len(ids) <= max_tokens else ids[: max_tokens - 1] + ids[-1:]


def load_tokenizer(path):
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


# ---- texts -----------------------------------------------------------------------------------------------------------

SPECIAL_TEXTS = [
    "",
    "a",
    " ",
    "\n\t \r\n",
    ".",
    "hello",
    "Hello, World!",
    "I",
    "\U0001f600",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 family and \U0001f1e9\U0001f1ea flag",
    "ship it \U0001f680\U0001f680\U0001f680",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u6587\u6863\u641c\u7d22\u670d\u52a1",
    "\u691c\u7d22\u30a8\u30f3\u30b8\u30f3\u306f\u901f\u3044\u3067\u3059\u304b",
    "\ud55c\uad6d\uc5b4 \ubb38\uc11c \uac80\uc0c9",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440",
    "\u03a3\u03cd\u03c3\u03c4\u03b7\u03bc\u03b1 \u03b1\u03bd\u03b1\u03b6\u03ae\u03c4\u03b7\u03c3\u03b7\u03c2",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "caf\u00e9 na\u00efve cafe\u0301 \u00c5ngstr\u00f6m \u1e9e stra\u00dfe",
    "\x00\x01\x02\x03",
    "before\x00after\x07bell\x1b[31mred\x7fdelete",
    "zero\u200bwidth\u200djoin\ufeffmark\u00adsoft",
    "right\u202eto left\u202c and back",
    "\ufffd \ufffd\ufffd replacement",
    "\ue000\uf8ff private use \U000f0000",
    "x" * 99,
    "x" * 100,
    "x" * 101,
    "a" * 5000,
    "!" * 600,
    "\u6f22" * 400,
    "[CLS] [SEP] [MASK] [PAD] [UNK]",
    "[CLS]nested[SEP]tokens[MASK]",
    "2 + 2 == 4 && 3 != 5 || !done",
    "3.14159e-10 0xDEADBEEF 1_000_000 192.168.0.1",
    "https://example.org/a/b?c=d&e=%20f#g",
    "fn main() { println!(\"hello\"); }",
    "def add(a: int, b: int) -> int:\n    return a + b\n",
    "SELECT id, name FROM users WHERE created_at > NOW() - INTERVAL '7 days' ORDER BY id DESC;",
    "for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; }",
    "impl<T: Clone + 'static> Iterator for Chunks<'_, T> { type Item = Vec<T>; }",
    "const f = async ({a, b = 2, ...rest}) => (await g(a))?.[b] ?? `${rest}`;",
    "getUserByEmailAddress get_user_by_email_address GET-USER-BY-EMAIL-ADDRESS",
    "<div class=\"row\"><a href='#'>link</a></div>",
    "{\"key\": [1, 2.5, null, true], \"nested\": {\"a\": \"b\"}}",
    "\\begin{equation} e^{i\\pi} + 1 = 0 \\end{equation}",
    "| a | b |\n|---|---|\n| 1 | 2 |\n",
]

WORDS = """
the a of to and in that it is was for on with as by at from this be are or an not have which but one all their
server client request response retry timeout budget breaker circuit queue worker thread lock channel message task
index search query vector token model layer attention weight kernel cache memory page block file folder path commit
branch merge conflict review approve deploy rollback release version schema migration table row column key value
error failure recovery degradation limit rate window bucket metric alert health readiness probe latency throughput
parse lexer grammar syntax tree node function method class struct trait interface module import export return loop
encryption signature certificate handshake socket stream buffer packet header payload checksum compression
river mountain forest winter breakfast guitar orchestra painting doctor hospital language history economics
democracy philosophy quantum gravity photosynthesis volcano earthquake penguin elephant umbrella bicycle
""".split()


def generated_texts(count, longest):
    """Prose and code-like lines of growing length from a seeded generator."""
    random = np.random.default_rng(20)
    texts = []
    for number in range(count):
        length = 1 + round((longest - 1) * number / (count - 1))
        words = [WORDS[i] for i in random.integers(0, len(WORDS), length)]
        if number % 3 == 0:
            words = [word if i % 5 else word.capitalize() + "," for i, word in enumerate(words)]
        elif number % 3 == 1:
            pairs = (words[i : i + 4] for i in range(0, length, 4))
            words = ["_".join(part[:2]) + "(" + ", ".join(part[2:]) + ");" for part in pairs]
        texts.append(" ".join(words))
    return texts


# ---- fixtures --------------------------------------------------------------------------------------------------------


def encoded(vectors):
    return base64.b64encode(np.concatenate(vectors).astype("<f4").tobytes()).decode()


def write_json(path, value):
    path.write_text(json.dumps(value, separators=(",", ":"), sort_keys=True) + "\n")
    print(f"{path}: {path.stat().st_size:,} bytes")


def fixture(texts, ids, vectors):
    return {"dimensions": len(vectors[0]), "texts": texts, "ids": ids, "vectors": encoded(vectors)}


def write_minilm(model, out):
    config = json.loads((model / "config.json").read_text())
    max_tokens = json.loads((model / "sentence_bert_config.json").read_text())["max_seq_length"]
    tokenizer, weights = load_tokenizer(model / "tokenizer.json"), read_safetensors(model / "model.safetensors")
    texts = SPECIAL_TEXTS + generated_texts(94, 330)
    ids = [tokenize(tokenizer, text, max_tokens) for text in texts]
    vectors = [text_vector(text_ids, weights, config, "mean", True) for text_ids in ids]
    assert {2, 3, max_tokens} <= {len(text_ids) for text_ids in ids}
    write_json(out / "minilm.json", fixture(texts, ids, vectors))


TINY_CONFIG = {
    "architectures": ["BertModel"],
    "hidden_act": "gelu",
    "hidden_size": 36,
    "intermediate_size": 52,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 48,
    "model_type": "bert",
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "position_embedding_type": "absolute",
    "type_vocab_size": 2,
}
TINY_MAX_TOKENS = 40
TINY_PROMPTS = {"query": "query: ", "passage": "text: "}
TINY_SEED = 7


def tiny_vocabulary():
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [word for word in dict.fromkeys(WORDS) if len(word) < 7][:70]
    marks = list("0123456789.,:;!?()[]{}<>+-*/=_#'\"&|%$@\\^~`") + ["\u4f60", "\u597d", "\u00df"]
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return specials + list(letters) + ["##" + letter for letter in letters] + marks + words + ["text"]


def tiny_tokenizer(vocabulary):
    ids = {token: i for i, token in enumerate(vocabulary)}
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    wrapped = [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ]
    return {
        "version": "1.0",
        # Both are in real files and must be ignored.
        "truncation": {"max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {
            "strategy": {"Fixed": 8},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
        "added_tokens": [{"id": i, "content": vocabulary[i], **special} for i in range(5)],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": wrapped,
            "pair": wrapped + [{"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {
                token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in ("[CLS]", "[SEP]")
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": ids,
        },
    }


def tiny_tensors(config):
    """Random tensors, large enough for attention to prefer some tokens to others; all of them exact in F16."""
    random = np.random.default_rng(TINY_SEED)
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
    }
    for index in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{index}."
        for name, outputs, inputs in [
            ("attention.self.query", hidden, hidden),
            ("attention.self.key", hidden, hidden),
            ("attention.self.value", hidden, hidden),
            ("attention.output.dense", hidden, hidden),
            ("intermediate.dense", inner, hidden),
            ("output.dense", hidden, inner),
        ]:
            shapes[layer + name + ".weight"] = (outputs, inputs)
            shapes[layer + name + ".bias"] = (outputs,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[layer + name + ".weight"] = (hidden,)
            shapes[layer + name + ".bias"] = (hidden,)
    tensors = {}
    for name, shape in shapes.items():
        values = random.normal(0.0, 0.25, shape)
        tensors[name] = (values + 1.0 if name.endswith("LayerNorm.weight") else values).astype(np.float16)
    return tensors


def write_safetensors(path, tensors, prefix, dtype):
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, values in sorted(tensors.items()):
        data = values.astype(DTYPES[dtype]).tobytes()
        entry = {"dtype": dtype, "shape": values.shape, "data_offsets": [len(body), len(body) + len(data)]}
        header[prefix + name] = entry
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    print(f"{path}: {path.stat().st_size:,} bytes")


def write_tiny(out):
    """The model once in F16 under plain names and once in F32 under "bert." names, with the same numbers in both."""
    out.mkdir(exist_ok=True)
    vocabulary = tiny_vocabulary()
    config = TINY_CONFIG | {"vocab_size": len(vocabulary)}
    write_json(out / "config.json", config)
    write_json(out / "tokenizer.json", tiny_tokenizer(vocabulary))
    tensors = tiny_tensors(config)
    write_safetensors(out / "model.safetensors", tensors, "", "F16")
    write_safetensors(out / "model-bert-f32.safetensors", tensors, "bert.", "F32")

    tokenizer = load_tokenizer(out / "tokenizer.json")
    weights = {name: values.astype(np.float64) for name, values in tensors.items()}
    texts = SPECIAL_TEXTS + generated_texts(20, 60)
    for name, prompt, pooling, normalize in [
        ("mean", "", "mean", True),
        ("cls", "", "cls", True),
        ("bare", "", "mean", False),
        ("query", TINY_PROMPTS["query"], "mean", True),
        ("document", TINY_PROMPTS["passage"], "mean", True),
    ]:
        ids = [tokenize(tokenizer, prompt + text, TINY_MAX_TOKENS) for text in texts]
        vectors = [text_vector(text_ids, weights, config, pooling, normalize) for text_ids in ids]
        write_json(out / f"expected-{name}.json", fixture(texts, ids, vectors))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path, help="folder of all-MiniLM-L6-v2; without it only tiny-bert")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the fixtures")
    arguments = parser.parse_args()
    write_tiny(arguments.out / "tiny-bert")
    if arguments.model:
        write_minilm(arguments.model, arguments.out)


if __name__ == "__main__":
    main()
