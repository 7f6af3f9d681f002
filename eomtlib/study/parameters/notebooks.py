"""The notebooks' own parameters, and how a parameter stands in a notebook's cell."""

from __future__ import annotations

from typing import Any

from eomtlib.study.parameters.settings import PARAMETERS

NOTEBOOKS: dict[str, dict[str, tuple[Any, str]]] = {
    "explore": {
        "pretraining": ("auto", "of finished runs auto means any; see ablation.ipynb"),
        "task": ("", "panoptic, instance, semantic; of finished runs empty means any"),
        "rungs": ("all", 'of the finished runs, or some, e.g. "eomt-masked,eomt"'),
        "image_size": (0, "pixels, of the models' input; 0 for what they were trained at"),
        "duration": ("", "of the runs: 300steps, 12epochs, 5min; empty for any"),
        "seed": (0, "of the runs"),
        "train": (True, "whether to train eomt-masked and eomt (or rungs) where no run is found"),
        "weights": ("", "encoder weights, for checkpoints without an encoder"),
        "results_dir": ("results/runs", "where finished runs are, and where figures go"),
        "checkpoints": (
            "",
            "files, folders, names of runs; empty for the finished runs of results_dir",
        ),
        "images": (
            "",
            "your own: files, separated by commas, or a folder; empty for validation images",
        ),
        "num_images": (4, "of the data set, or of your folder"),
        "num_queries_shown": (8, ""),
        "threshold": (0.8, "queries below this score make no segment"),
    },
    "fidelity": {
        "pretraining": ("", "of its encoder, where the file does not tell: PMT's"),
        "encoder_sizes": (
            "small",
            'compared with timm\'s; "small,base,large,giant" takes minutes and 10 GB',
        ),
        "weights": ("", "the pretrained encoder for it, where it does not hold the encoder itself"),
        "checkpoint": ("", "a file or folder of yours, to see what it is taken for"),
        "results_dir": ("results/runs", "tables are written there"),
    },
    "frozen_encoder": {
        "size": ("nano", "nano, micro (ours, for CPUs), small, base, large (the papers')"),
        "pretraining": (
            "",
            "shapes-ssl, mim (ours), dinov3, ..., timm:NAME; by default what suits the size",
        ),
        "taps": ("", 'another set of tapped blocks, e.g. "2,3,4,5"; by default the last ones'),
    },
    "mask_annealing": {"models": ("eomt,vit-adapter-m2f", "or one of them")},
    "model_size": {
        "sizes": ("nano,micro", "ours, for CPUs; the papers': small,base,large,giant"),
        "pretraining": (
            "",
            "none, dinov2, ...; by default auto, or none where sizes are ours and theirs",
        ),
        "rungs": ("vit-adapter-m2f,eomt-masked,eomt", 'Table 3\'s; or "all"'),
        "weights": (
            "",
            "a folder of encoder weights under timm's names, for use without network; or random",
        ),
    },
    "own_question": {
        "vary": ("", "written as above; empty for three learning rates"),
        "rungs": ("eomt", "where vary does not say it: all, or some"),
        "seeds": ("0,1,2", "one settles nothing"),
    },
    "paper_tables": {
        "records": ("results/runs,results/gallery", "folders whose records are used"),
        "machine": ("", "whose FPS are shown; by default the one with most timings"),
        "count": (True, "False: parameters and GMACs from records alone"),
        "results_dir": ("results/runs", "tables are written here"),
    },
    "pretraining": {
        "pretrainings": (
            "",
            "none,mim,shapes-ssl; at the papers' sizes dinov2,dinov3,eva02,...; timm:NAME",
        ),
        "rungs": ("vit-adapter-m2f,eomt-masked,eomt", 'Table 2\'s; or "all"'),
        "weights": (
            "",
            "a folder of encoder weights under timm's names, for use without network; or random",
        ),
    },
    "query_blocks": {
        "query_blocks": ("", 'e.g. "2,4,6,9", the paper\'s at large; by default what suits it'),
    },
    "speed": {
        "sizes": ("", 'e.g. "small,base,large,giant"; by default these on a GPU, nano on a CPU'),
        "pretrainings": (
            "dinov2",
            'architectures of the encoder; "dinov2,eva02,deit3-in21k" for Table 2',
        ),
        "image_size": (0, "640; our own sizes: 64"),
    },
}
"""Notebook → its own parameters, and those whose default or help is not the common one."""


def default_and_help(name: str, notebook: str) -> tuple[Any, str]:
    """A parameter's default and help in a notebook: its own there, or the common ones."""
    own = NOTEBOOKS.get(notebook, {}).get(name)
    return own or (PARAMETERS[name].default, PARAMETERS[name].help)


def cell_line(name: str, notebook: str) -> str:
    """A parameter's line in the parameter cell of a notebook."""
    default, said = default_and_help(name, notebook)
    text = f'"{default}"' if isinstance(default, str) else repr(default)
    return f"{name} = {text}" + (f"  # {said}" if said else "")
