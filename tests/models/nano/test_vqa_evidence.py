"""Evidence for answers tells images and things apart, and is finite where nothing is there."""

from __future__ import annotations

import torch

from tests.reference.small_answers import answering_chat, answering_model, boxed_features
from text4seg.models.nano.vqa_evidence import evidence_width, name_features
from text4seg.models.nano.vqa_session import gather_evidence


def test_evidence_is_finite_and_tells_images_and_things_apart() -> None:
    chat = answering_chat()
    model = chat.model
    assert chat.reader is not None
    found = []
    for seen in (boxed_features(), boxed_features(1), torch.zeros_like(boxed_features())):
        with torch.inference_mode():
            image = model.fusion.encode_image(seen[None])
            asked = ["the cat", "the dog"]
            found.append(gather_evidence(model, chat.reader, chat.encode, image, asked))
    for one in found:
        assert one.shape == (2, evidence_width(model.config))
        assert one.isfinite().all()
    assert not torch.allclose(found[0][0], found[0][1])
    assert not torch.allclose(found[0], found[1])


def test_names_have_features_with_and_without_a_class_of_the_detector() -> None:
    model = answering_model()
    with torch.inference_mode():
        image = model.fusion.encode_image(boxed_features()[None])
        features = name_features(image, torch.tensor([15, 16, -1]))
    assert features.shape == (1, 3, 5)
    assert features.isfinite().all()
    assert features[0, :, 4].tolist() == [1.0, 1.0, 0.0]
