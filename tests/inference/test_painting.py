import torch

from eomtlib.inference.painting import paint_semantic


def test_classes_that_occur_are_numbered_in_their_order():
    classes = torch.randint(0, 40, (30, 50), generator=torch.Generator().manual_seed(0)) ** 2
    painted = paint_semantic(classes)
    labels, ids = classes.unique(return_inverse=True)
    assert painted.labels == labels.tolist()
    assert torch.equal(painted.ids.long(), ids)
