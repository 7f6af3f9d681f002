"""All seven rungs through one contract: gradients, one graph, compiled as eager, image sizes."""

import pytest
import torch

from eomtlib.core.errors import ConfigurationError
from eomtlib.core.predictions import Predictions
from eomtlib.core.words import OWN_PRETRAININGS, OWN_SIZES, PRETRAININGS, RUNGS, SIZES
from eomtlib.models import ladder
from eomtlib.models.build import build_model
from eomtlib.models.encoder_names import OWN_VITS, TIMM_NAMES
from eomtlib.models.ladder import LADDER
from eomtlib.models.parts.deformable_attention import DeformableAttention
from eomtlib.report.fidelity.inputs import spread_weights

NUM_CLASSES = 5


def tiny(rung, **options):
    torch.manual_seed(0)
    defaults = {
        "size": "nano",
        "pretraining": "none",
        "image_size": 64,
        "num_classes": NUM_CLASSES,
        "num_queries": 7,
    }
    return build_model(rung, **defaults | options)


def images(batch=2, size=(64, 64)):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (batch, 3, *size), dtype=torch.uint8, generator=generator)


def loss_of(predictions: Predictions):
    tensors = (*predictions.mask_logits, *predictions.class_logits)
    return sum((t * torch.linspace(-1, 1, t.numel()).view(t.shape)).mean() for t in tensors)


@pytest.mark.parametrize("rung", LADDER)
def test_gradients_reach_all_that_learns_and_nothing_that_is_frozen(rung):
    model = tiny(rung).train()
    with torch.no_grad():
        for parameter in model.parameters():
            # What starts at zero passes no gradient on to what stands before it.
            if parameter.requires_grad and not parameter.any():
                parameter.copy_(0.1 * torch.randn_like(parameter))
    loss_of(model(images())).backward()
    for name, parameter in model.named_parameters():
        frozen = LADDER[rung].freeze == "encoder" and name.startswith("encoder.")
        reached = parameter.grad is not None and bool(parameter.grad.any())
        assert reached != frozen, name
    assert model.encoder.backbone.training != (LADDER[rung].freeze == "encoder")


@pytest.mark.parametrize("rung", LADDER)
@torch.no_grad()
def test_shapes_and_the_final_pair(rung):
    model = tiny(rung).eval()
    predictions = model(images())
    assert len(predictions) == model.masking.num_blocks + 1
    for masks, classes in zip(predictions.mask_logits, predictions.class_logits, strict=True):
        assert masks.shape == (2, 7, 16, 16)
        assert classes.shape == (2, 7, NUM_CLASSES + 1)
    if model.masking.mode == "masked":
        torch.testing.assert_close(model.predict(images()), predictions.final)
    else:
        model.masking.probabilities.zero_()
        torch.testing.assert_close(model.predict(images()), model(images()).final)


@pytest.mark.parametrize("rung", LADDER)
def test_one_graph_serves_a_whole_annealing_run(rung):
    """Compiled equals eager, gradients included, while probabilities go from 1 to 0."""
    model = tiny(rung, masking="annealed").train()
    torch.compiler.reset()
    graphs = []

    def counting(graph, inputs):
        graphs.append(graph)
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    compiled = torch.compile(model, fullgraph=True, backend=counting)
    draws = torch.rand(2, model.masking.num_blocks, 7, generator=torch.Generator().manual_seed(2))
    blocks = model.masking.num_blocks
    for values in ([1.0] * blocks, [0.0] + [0.4] + [1.0] * (blocks - 2), [0.0] * blocks):
        model.masking.probabilities.copy_(torch.tensor(values))
        results = []
        for run in (model, compiled):
            model.zero_grad()
            torch.manual_seed(3)  # rotary augmentation draws from the global generator
            predictions = run(images(), draws)
            loss_of(predictions).backward()
            grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
            results.append((*predictions.mask_logits, *predictions.class_logits, *grads))
        torch.testing.assert_close(results[0], results[1], rtol=2e-3, atol=2e-4)
    assert len(graphs) == 1


@pytest.mark.parametrize(
    ("rung", "size", "pretraining", "compiled"),
    [
        ("eomt", "small", "dinov3", False),
        ("pmt", "small", "dinov3", False),
        ("no-adapter", "nano", "none", True),  # fewer blocks to compile
    ],
)
def test_recomputed_blocks_give_the_same_gradients_from_less_memory(
    rung, size, pretraining, compiled
):
    model = tiny(rung, size=size, pretraining=pretraining, load_weights=False).eval()
    run = torch.compile(model, fullgraph=True, backend="aot_eager") if compiled else model
    draws = torch.rand(2, model.masking.num_blocks, 7)
    held, gradients = [], []
    for recomputes in (False, True):
        torch.compiler.reset()
        model.encoder.activation_checkpointing = recomputes
        model.zero_grad()
        kept, weights = {}, {p.untyped_storage().data_ptr() for p in model.parameters()}

        def keep(tensor, kept=kept, weights=weights):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            predictions = run(images(), draws)
        loss_of(predictions).backward()
        held.append(sum(kept.values()))
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)
    assert held[1] < 0.95 * held[0]


@pytest.mark.slow
@pytest.mark.parametrize("rung", LADDER)
@torch.no_grad()
def test_inductor_gives_what_eager_gives(rung):
    model = tiny(rung).eval()
    torch.compiler.reset()
    compiled = torch.compile(model.predict, fullgraph=True)
    torch.testing.assert_close(compiled(images()), model.predict(images()), rtol=1e-3, atol=1e-3)


FAMILIES = [
    ("dinov2", "small"),
    ("dinov3", "small"),
    ("eva02", "small"),
    # From base on, EVA-02 has other projections and another MLP.
    ("eva02", "base"),
    ("deit3-in21k", "small"),
]


@pytest.mark.parametrize(("pretraining", "size"), FAMILIES)
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@torch.no_grad()
def test_every_encoder_family_computes_the_same_when_compiled(pretraining, size, backend):
    model = build_model(
        "eomt-masked",
        size=size,
        pretraining=pretraining,
        image_size=(64, 96),
        num_classes=NUM_CLASSES,
        num_queries=7,
        load_weights=False,
    ).eval()
    spread_weights(model)
    torch.compiler.reset()
    compiled = torch.compile(model.predict, fullgraph=True, backend=backend)
    values = images(1, (64, 96))
    for masked in (True, False):
        ours, expected = compiled(values, masked=masked), model.predict(values, masked=masked)
        assert expected[0].abs().max() > 0.5
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rung", ["vit-adapter-m2f", "single-scale", "eomt", "pmt"])
@torch.no_grad()
def test_non_square_images_and_a_change_of_size(rung):
    model = build_model(
        rung, size="nano", pretraining="none", image_size=(64, 96), num_classes=3
    ).eval()
    assert model.predict(images(1, (64, 96)))[0].shape[-2:] == (16, 24)
    model.set_image_size((96, 64))
    assert model.predict(images(1, (96, 64)))[0].shape[-2:] == (24, 16)


@pytest.mark.parametrize("rung", ["single-scale", "eomt", "pmt"])
@torch.no_grad()
def test_a_query_with_an_empty_mask_still_runs(rung):
    model = tiny(rung, masking="masked").eval()
    predictions = model(torch.zeros(1, 3, 64, 64))
    assert all(t.isfinite().all() for t in predictions.mask_logits)


def test_unmasked_models_predict_once():
    assert len(tiny("eomt", masking="unmasked")(images())) == 1
    assert len(tiny("single-scale", masking="unmasked")(images())) == 1


def test_errors_name_parameter_and_fix():
    with pytest.raises(ConfigurationError, match=r"rung='eomt-maskd'.*'eomt-masked'"):
        tiny("eomt-maskd")
    with pytest.raises(ConfigurationError, match=r"masking='anealed'.*'annealed'"):
        tiny("eomt", masking="anealed")
    with pytest.raises(ConfigurationError, match=r"72×72.*32.*64×64"):
        build_model("no-adapter", size="nano", pretraining="none", image_size=72, num_classes=3)
    with pytest.raises(ConfigurationError, match=r"query_blocks=4.*single-scale.*leave it out"):
        tiny("single-scale", query_blocks=4)
    with pytest.raises(ConfigurationError, match="num_classes=0"):
        build_model("eomt", size="nano", pretraining="none", image_size=64, num_classes=0)


@pytest.mark.parametrize("rung", LADDER)
def test_a_rung_knows_whether_it_has_deformable_attention(rung):
    found = any(isinstance(module, DeformableAttention) for module in tiny(rung).modules())
    assert found == LADDER[rung].has_deformable_attention


def test_every_rung_has_its_place():
    assert [rung.step for rung in LADDER.values()] == list(range(len(RUNGS)))
    assert len(RUNGS) == len(ladder._RUNGS)


def test_the_words_of_sizes_and_pretrainings_are_those_that_can_be_built():
    assert tuple(ladder.HEAD_SIZES) == SIZES
    assert (*OWN_PRETRAININGS, *TIMM_NAMES) == PRETRAININGS
    assert tuple(OWN_VITS) == OWN_SIZES
