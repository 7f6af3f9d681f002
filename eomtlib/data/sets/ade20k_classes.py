"""ADE20K's 150 classes and its 100 instance categories, as its files number them.

The names are the first of each line of objectInfo150.txt, which comes with the data set; the
instance categories are those of the publishers' table of instance and scene parsing numbers. The
colours are those of color150.mat of the publishers' sceneparsing; two classes share one there.
"""

from __future__ import annotations

from dataclasses import replace

from eomtlib.core.structures import ClassInfo, rgb

_NAMES = """
wall; building; sky; floor; tree; ceiling; road; bed; windowpane; grass; cabinet; sidewalk;
person; earth; door; table; mountain; plant; curtain; chair; car; water; painting; sofa;
shelf; house; sea; mirror; rug; field; armchair; seat; fence; desk; rock; wardrobe; lamp;
bathtub; railing; cushion; base; box; column; signboard; chest of drawers; counter; sand;
sink; skyscraper; fireplace; refrigerator; grandstand; path; stairs; runway; case; pool
table; pillow; screen door; stairway; river; bridge; bookcase; blind; coffee table; toilet;
flower; book; hill; bench; countertop; stove; palm; kitchen island; computer; swivel chair;
boat; bar; arcade machine; hovel; bus; towel; light; truck; tower; chandelier; awning;
streetlight; booth; television; airplane; dirt track; apparel; pole; land; bannister;
escalator; ottoman; bottle; buffet; poster; stage; van; ship; fountain; conveyer belt;
canopy; washer; plaything; swimming pool; stool; barrel; basket; waterfall; tent; bag;
minibike; cradle; oven; ball; food; step; tank; trade name; microwave; pot; animal; bicycle;
lake; dishwasher; screen; blanket; sculpture; hood; sconce; vase; traffic light; tray;
ashcan; fan; pier; crt screen; plate; monitor; bulletin board; shower; radiator; glass;
clock; flag
"""

_THINGS = """
8 9 11 13 15 16 19 20 21 23 24 25 28 31 32 33 34 36 37 38 39 40 42 43 44 45 46 48 50 51 54
56 57 58 59 63 65 66 67 68 70 71 72 73 74 75 76 77 79 81 82 83 84 86 87 88 89 90 91 93 94 96
98 99 103 104 105 108 109 111 112 113 116 117 119 120 121 122 124 125 126 127 128 130 131
133 134 135 136 137 138 139 140 143 144 145 147 148 149 150
"""

THING_NUMBERS = tuple(int(number) for number in _THINGS.split())
"""The semantic number, 1 to 150, of each of the instance categories 1 to 100."""

_COLORS = """
787878 b47878 06e6e6 503232 04c803 787850 8c8c8c cc05ff e6e6e6 04fa07 e005ff ebff07 96053d 787846
08ff33 ff0652 8fff8c ccff04 ff3307 cc4603 0066c8 3de6fa ff0633 0b66ff ff0747 ff09e0 0907e6 dcdcdc
ff095c 7009ff 08ffd6 07ffe0 ffb806 0aff47 ff290a 07ffff e0ff08 6608ff ff3d06 ffc207 ff7a08 00ff14
ff0829 ff0599 0633ff eb0cff a09614 00a3ff 8c8c8c fa0a0f 14ff00 1fff00 ff1f00 ffe000 99ff00 0000ff
ff4700 00ebff 00adff 1f00ff 0bc8c8 ff5200 00fff5 003dff 00ff70 00ff85 ff0000 ffa300 ff6600 c2ff00
008fff 33ff00 0052ff 00ff29 00ffad 0a00ff adff00 00ff99 ff5c00 ff00ff ff00f5 ff0066 ffad00 ff0014
ffb8b8 001fff 00ff3d 0047ff ff00cc 00ffc2 00ff52 000aff 0070ff 3300ff 00c2ff 007aff 00ffa3 ff9900
00ff0a ff7000 8fff00 5200ff a3ff00 ffeb00 08b8aa 8500ff 00ff5c b800ff ff001f 00b8ff 00d6ff ff0070
5cff00 00e0ff 70e0ff 46b8a0 a300ff 9900ff 47ff00 ff00a3 ffcc00 ff008f 00ffeb 85ff00 ff00eb f500ff
ff007a fff500 0abed4 d6ff00 00ccff 1400ff ffff00 0099ff 0029ff 00ffcc 2900ff 29ff00 ad00ff 00f5ff
4700ff 7a00ff 00ffb8 005cff b8ff00 0085ff ffd600 19c2c2 66ff00 5c00ff
"""

CLASSES = tuple(
    ClassInfo(name.strip(), number in THING_NUMBERS, number, rgb(color))
    for number, (name, color) in enumerate(
        zip(_NAMES.replace("\n", " ").split(";"), _COLORS.split(), strict=True), start=1
    )
)
"""In the order of the semantic PNGs' numbers, which start at 1: 0 is void."""

THINGS = tuple(
    replace(CLASSES[number - 1], category_id=category)
    for category, number in enumerate(THING_NUMBERS, start=1)
)
"""In the order of the instance categories."""
