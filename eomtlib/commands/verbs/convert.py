"""``convert``: an annotation tool's export as a data set that ``dataset=custom`` reads."""

from __future__ import annotations

import argparse

from eomtlib.core.console import counted, deliver, show
from eomtlib.data.exports.conversion import convert


def run(chosen: argparse.Namespace) -> None:
    """Converts, and says what there is now."""
    counts = convert(
        chosen.source,
        chosen.output,
        form=chosen.format,
        val_share=chosen.val_share,
        exif=chosen.exif,
        on_bad=chosen.on_bad,
        corners=chosen.corners,
    )
    for split, own in counts.items():
        objects = counted(own.objects.total(), "object") if own.is_annotated else "no annotations"
        named = ", ".join(f"{number} × {name}" for name, number in own.objects.most_common(8))
        more = ", …" if len(own.objects) > 8 else ""
        images = counted(own.images, "image")
        show(f"{split:>5}: {images}, {objects}{f': {named}{more}' if named else ''}")
    show(f"Written: {chosen.output}; look at it with")
    show(f"  eomtlib check-data --dataset custom --data-path {chosen.output}")
    splits = {
        split: {"images": own.images, "is_annotated": own.is_annotated, "objects": own.objects}
        for split, own in counts.items()
    }
    deliver({"splits": splits, "written": chosen.output})
