"""SmolLM2 comes out of its GGUF file whole: rows of queries and keys, and the tokenizer."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel

from text4seg.models.nano.encoders.parts import PretrainedParts
from text4seg.models.nano.encoders.smollm2 import (
    _half_split,
    language_settings,
    read_language_model,
    read_tokenizer,
)
from text4seg.pretrained import weight_files


def interleave(weight: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's converter does to the rows of query and key projections."""
    rows, cols = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, cols)
    return halves.swapaxes(1, 2).reshape(rows, cols)


@given(st.integers(1, 9), st.integers(1, 8), st.integers(1, 5))
def test_the_order_of_rows_is_undone(heads: int, half: int, cols: int) -> None:
    weight = np.arange(heads * 2 * half * cols).reshape(heads * 2 * half, cols)
    assert np.array_equal(_half_split(interleave(weight, heads), heads), weight)


def test_rows_stay_within_their_head() -> None:
    rows = np.arange(8)[:, None]
    assert _half_split(rows, 2).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert _half_split(rows, 1).ravel().tolist() == [0, 2, 4, 6, 1, 3, 5, 7]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A file as llama.cpp writes them, two layers of nine heads, and the weights that went in."""
    random = np.random.default_rng(0)
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = gguf.GGUFWriter(str(file), "llama")
    shapes = {"attn_q": (36, 32), "attn_k": (12, 32), "attn_v": (12, 32), "attn_output": (32, 36)}
    shapes |= {"ffn_gate": (64, 32), "ffn_up": (64, 32), "ffn_down": (32, 64)}
    shapes |= {"attn_norm": (32,), "ffn_norm": (32,)}
    names = {f"blk.{layer}.{name}": shape for layer in (0, 1) for name, shape in shapes.items()}
    names |= {"token_embd": (24, 32), "output_norm": (32,)}
    put = {name: random.normal(size=shape).astype(np.float32) for name, shape in names.items()}
    for name, weight in put.items():
        heads = 9 if name.endswith("attn_q") else 3 if name.endswith("attn_k") else 0
        stored = interleave(weight, heads) if heads else weight
        writer.add_tensor(f"{name}.weight", np.ascontiguousarray(stored))
    writer.add_token_list(["<|im_end|>", *"ab12*", "ab", "Ġ"])
    writer.add_token_types([3] + [1] * 7)
    writer.add_token_merges(["a b"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file, put


def test_a_file_is_read_as_it_was_before_it_was_converted(
    tiny: tuple[Path, dict[str, np.ndarray]],
) -> None:
    file, put = tiny
    state = read_language_model(file, layers=2)
    pairs = {
        "embed_tokens": "token_embd",
        "norm": "output_norm",
        "layers.0.self_attn.q_proj": "blk.0.attn_q",
        "layers.1.self_attn.k_proj": "blk.1.attn_k",
        "layers.1.self_attn.v_proj": "blk.1.attn_v",
        "layers.0.self_attn.o_proj": "blk.0.attn_output",
        "layers.0.mlp.gate_proj": "blk.0.ffn_gate",
        "layers.0.mlp.up_proj": "blk.0.ffn_up",
        "layers.1.mlp.down_proj": "blk.1.ffn_down",
        "layers.0.input_layernorm": "blk.0.attn_norm",
        "layers.0.post_attention_layernorm": "blk.0.ffn_norm",
    }
    for ours, theirs in pairs.items():
        assert np.array_equal(state[f"{ours}.weight"].numpy(), put[theirs]), ours
    assert len(state) == 2 + 2 * 9
    assert len(read_language_model(file, layers=1)) == 2 + 9


def test_a_tokenizer_is_read_with_its_merges_and_control_tokens(
    tiny: tuple[Path, dict[str, np.ndarray]],
) -> None:
    tokenizer = read_tokenizer(tiny[0])
    assert tokenizer.encode("ab12 <|im_end|>*").ids == [6, 3, 4, 7, 0, 5]
    assert tokenizer.decode([6, 7, 3]) == "ab 1"
    assert [token.special for token in tokenizer.get_added_tokens_decoder().values()] == [True]


@pytest.fixture(scope="module")
def smollm2(nano_parts: None) -> Path:
    return weight_files.locate("smollm2")


@pytest.mark.slow
@pytest.mark.nano
def test_the_first_layers_fill_a_llama_model(smollm2: Path, parts: PretrainedParts) -> None:
    state = read_language_model(smollm2, layers=1)
    model = LlamaModel(LlamaConfig(**language_settings(1)))
    model.load_state_dict(state)
    assert {value.dtype for value in state.values()} == {torch.float32}
    kept = parts.embedding()
    assert kept.dtype == torch.bfloat16
    assert torch.equal(kept, state["embed_tokens.weight"].bfloat16())


@pytest.mark.slow
@pytest.mark.nano
def test_the_tokenizer_is_the_one_that_was_kept(smollm2: Path, tokenizer: Tokenizer) -> None:
    assert read_tokenizer(smollm2).to_str() == tokenizer.to_str()


# SmolLM2's vocabulary lacks the bytes of a few control characters and of planes 4 to 11.
WRITABLE = st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"])


@pytest.mark.nano
@given(text=st.text(WRITABLE, max_size=40))
def test_any_text_comes_back_from_its_tokens(text: str, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


@pytest.mark.nano
def test_digits_stand_alone_and_control_tokens_are_special(tokenizer: Tokenizer) -> None:
    assert [tokenizer.id_to_token(i) for i in tokenizer.encode("*128").ids] == ["*", "1", "2", "8"]
    assert tokenizer.get_vocab_size() == 49152
    special = tokenizer.get_added_tokens_decoder()
    assert sorted(special) == list(range(17))
    assert (special[1].content, special[2].content) == ("<|im_start|>", "<|im_end|>")


@pytest.mark.slow
@pytest.mark.nano
def test_the_whole_language_model_speaks(smollm2: Path, tokenizer: Tokenizer) -> None:
    model = LlamaForCausalLM(LlamaConfig(**language_settings(30))).eval()
    model.model.load_state_dict(read_language_model(smollm2))
    model.tie_weights()
    asked = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    prompt = torch.tensor([tokenizer.encode(asked).ids])
    with torch.inference_mode():
        out = model.generate(prompt, do_sample=False, max_new_tokens=12, eos_token_id=2)
    answer = tokenizer.decode(out[0, prompt.shape[1] :].tolist())
    assert answer == "The capital of France is Paris."
