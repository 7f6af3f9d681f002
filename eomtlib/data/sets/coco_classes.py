"""COCO's 133 classes, things before stuff, and the colours that their publishers draw them in.

From panoptic_coco_categories.json of the publishers' panopticapi.
"""

from __future__ import annotations

from eomtlib.core.structures import rgb

_CLASSES = """
dc143c person; 770b20 bicycle; 00008e car; 0000e6 motorcycle; 6a00e4 airplane; 003c64 bus;
005064 train; 000046 truck; 0000c0 boat; faaa1e traffic light; 64aa1e fire hydrant;
dcdc00 stop sign; af74af parking meter; fa001e bench; a52a2a bird; ff4dff cat; 00e2fc dog;
b6b6ff horse; 005200 sheep; 78a69d cow; 6e4c00 elephant; ae39ff bear; c76400 zebra;
480076 giraffe; ffb3f0 backpack; 007d5c umbrella; d10097 handbag; bcd0b6 tie; 00dcb0 suitcase;
ff63a4 frisbee; 5c0049 skis; 8581ff snowboard; 4eb4ff sports ball; 00e400 kite;
aefff3 baseball bat; 2d59ff baseball glove; 868667 skateboard; 9194ae surfboard;
ffd0ba tennis racket; c5e2ff bottle; ab8601 wine glass; 6d3f36 cup; cf8aff fork; 97005f knife;
09503d spoon; 546933 bowl; 4a4169 banana; a6c466 apple; d0c3d2 sandwich; ff6d41 orange;
008f95 broccoli; b300c2 carrot; d1636a hot dog; 057900 pizza; e3ffcd donut; 93bad0 cake;
994501 chair; 035fa1 couch; a3ff00 potted plant; 7700aa bed; 00b6c7 dining table; 00a578 toilet;
b78258 tv; 5f2000 laptop; 827287 mouse; 6e8185 remote; a64a76 keyboard; db8eb9 cell phone;
4fd272 microwave; b25a3e oven; 41460f toaster; 7fa773 sink; 3b696a refrigerator; 8e6c2d book;
c4ac00 clock; 5f3650 vase; 804cff scissors; c93901 teddy bear; f6007a hair drier;
bfa2d0 toothbrush; ffff80 banner; 93d3cb blanket; 966464 bridge; a8abac cardboard; 9270c6 counter;
d2aa64 curtain; 5c8859 door-stuff; da58b8 floor-wood; f18100 flower; d911ff fruit; 7c4ab5 gravel;
464646 house; ffe4ff light; 9ad000 mirror-stuff; c1005c net; 4c5b71 pillow; ffb4c3 platform;
6a9ab0 playingfield; e6968c railroad; 3c8fff river; 804080 road; 5c5237 roof; fed47c sand;
494dae sea; ffa062 shelf; ffffff snow; 68546d stairs; a9a483 tent; e1c7ff towel;
89364a wall-brick; 879edf wall-stone; 07f6e7 wall-tile; 6bffc8 wall-wood; 3a2995 water-other;
b7798e window-blind; ff4961 window-other; 6b8e23 tree-merged; be9999 fence-merged;
928b8d ceiling-merged; 4682b4 sky-other-merged; 86c79c cabinet-merged; d1e28c table-merged;
60246c floor-other-merged; 606060 pavement-merged; 40aa40 mountain-merged; 98fb98 grass-merged;
d0e5e4 dirt-merged; cebaab paper-merged; 98a140 food-other-merged; 747000 building-other-merged;
00728f rock-merged; 66669c wall-other-merged; fa8dff rug-merged
"""

COLORS = {
    name: rgb(color)
    for color, name in (
        entry.strip().split(maxsplit=1) for entry in _CLASSES.replace("\n", " ").split(";")
    )
}
"""Name of each class → its colour, in the order of the annotation files."""

NUM_THINGS = 80
"""So many of the first ones are things, which are the classes of instance annotations."""
