"""Plain ViTs of timm as encoders: what EoMT on each of them costs."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from eomtlib.core.words import COST_IMAGE_SIZE, NUM_CLASSES
from eomtlib.evaluation.costs import count_costs
from eomtlib.models.build import build_model
from eomtlib.models.timm_vits import timm_vit

NAMES = {
    "SigLIP 2, B": "vit_base_patch16_siglip_512.v2_webli",
    "SigLIP 2, So400m": "vit_so400m_patch16_siglip_512.v2_webli",
    "SigLIP, L": "vit_large_patch16_siglip_384.webli",
    "CLIP, B": "vit_base_patch16_clip_224.openai",
    "CLIP, L": "vit_large_patch14_clip_336.openai",
    "CLIP of LAION, H": "vit_huge_patch14_clip_224.laion2b",
    "MAE, L": "vit_large_patch16_224.mae",
    "DINO, S": "vit_small_patch8_224.dino",
    "DINO, B": "vit_base_patch16_224.dino",
    "DINOv2 without registers, L": "vit_large_patch14_dinov2.lvd142m",
    "DINOv3, S+": "vit_small_plus_patch16_dinov3_qkvb.lvd1689m",
    "DINOv3, H+": "vit_huge_plus_patch16_dinov3_qkvb.lvd1689m",
    "Perception Encoder, core, B": "vit_pe_core_base_patch16_224.fb",
    "Perception Encoder, spatial, L": "vit_pe_spatial_large_patch14_448.fb",
    "AugReg, Ti": "vit_tiny_patch16_224.augreg_in21k",
    "AugReg, B": "vit_base_patch16_224.augreg_in21k",
    "EVA-02 CLIP, B": "eva02_base_patch16_clip_224.merged2b",
    "EVA, g": "eva_giant_patch14_224.clip_ft_in1k",
    "AIMv2, L": "aimv2_large_patch14_448.apple_pt",
    "DeiT, S": "deit_small_patch16_224.fb_in1k",
    "DeiT-III, M": "deit3_medium_patch16_224.fb_in22k_ft_in1k",
    "BEiT-3, B": "beit3_base_patch16_224.indomain_in22k_ft_in1k",
    "RoPE-ViT, learned, S": "vit_small_patch16_rope_mixed_224.naver_in1k",
    "ViT-SBB, Betwixt": "vit_betwixt_patch16_reg4_gap_384.sbb2_e200_in12k_ft_in1k",
    "InternViT, 300M": "vit_intern300m_patch14_448.ogvl_dist",
}
"""Family → timm's name of one of its encoders."""


def encoders_table(names: Mapping[str, str] = NAMES) -> str:
    """EoMT for COCO's panoptic task on encoders of timm, as a table in Markdown.

    Args:
        names: what each is called, and timm's name of it.
    """
    rows = [
        "| encoder | `timm:` + | width × blocks | heads as at | parameters (M) | GMACs |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for title, name in names.items():
        vit = timm_vit(f"timm:{name}")
        architecture = {
            "pretraining": vit.pretraining,
            "image_size": COST_IMAGE_SIZE,
            "num_classes": NUM_CLASSES["coco", "panoptic"],
        }
        with torch.device("meta"):
            encoder = build_model("eomt", **architecture, load_weights=False).encoder
        params_m, gmacs = count_costs("eomt", **architecture)
        shape = f"{encoder.embed_dim} × {encoder.depth}"
        rows.append(
            f"| {title} | `{vit.name}` | {shape} | {vit.size} | {params_m:.1f} | {gmacs:.0f} |"
        )
    return "\n".join(rows) + "\n"
