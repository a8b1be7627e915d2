"""MVTec AD as its publisher states it: terms, archives, and counts of images.

The addresses and sums are those of public code that downloads the data set. They were
not checked against the server, which was out of reach where adlib was written.
"""

from __future__ import annotations

SHARE = "https://www.mydrive.ch/shares/38536/3830184030e49fe74747669442f0f282/download"
PILL_SHARE = (
    "https://www.mydrive.ch/shares/43421/11a215a5749fcfb75e331ddd5f8e43ee/download"
)
NOTICE = """\
MVTec Anomaly Detection data set (MVTec AD)

Copyright 2019 MVTec Software GmbH.
Licence: Creative Commons Attribution-NonCommercial-ShareAlike 4.0
International (CC BY-NC-SA 4.0),
https://creativecommons.org/licenses/by-nc-sa/4.0/
Non-commercial use only.

Please cite: Bergmann, Fauser, Sattlegger, Steger, "MVTec AD - A Comprehensive
Real-World Dataset for Unsupervised Anomaly Detection", CVPR 2019."""
# Class, section of the share, MD5 of the archive, and the number of images: to train
# with, normal ones to test with, anomalous ones to test with.
TABLE = """
bottle      420937370-1629951468  79b4d46b8647d969e323afef8d8445ff  209  20   63
cable       420937413-1629951498  2ba411739e8239e7558ead13f18b0ead  224  58   92
capsule     420937454-1629951595  380afc46701c99cb7b9a928edbe16eb5  219  23  109
carpet      420937484-1629951672  5ce0a646d054d9e88195bd74c690de4b  280  28   89
grid        420937487-1629951814  37239e47f99673bb73393b67ca4cc418  264  21   57
hazelnut    420937545-1629951845  5c30a9e574a762d845ca79cf2f241b01  391  40   70
leather     420937607-1629951964  e7971b60323840bfc36247e8d9c3598e  245  32   92
metal_nut   420937637-1629952063  bfbc32e780827923f4b2c61923e364f7  220  22   93
pill        420938129-1629953099  834e2d57f62cd4d8d74cd0a5775cc48b  267  26  141
screw       420938130-1629953152  2e817e865841f4947db4ded51c13bb23  320  41  119
tile        420938133-1629953189  d78d2c0f6d8bbe9cbe3b72a77bc3e328  230  33   84
toothbrush  420938134-1629953256  53ba30bb7aeac103e28e1b83ae28ffb9   60  12   30
transistor  420938166-1629953277  4fe2681f0ce1793cbf71d762f926d564  213  60   40
wood        420938383-1629953354  b2478b1c65e9a470f360cc6173299d58  247  19   60
zipper      420938385-1629953449  015bfd289a1782abc77318aa015a728d  240  32  119
"""

_ROWS = [line.split() for line in TABLE.strip().splitlines()]
ARCHIVES = {  # address and MD5 of each class
    name: (f"{PILL_SHARE if name == 'pill' else SHARE}/{section}/{name}.tar.xz", md5)
    for name, section, md5, *_ in _ROWS
}
COUNTS = {
    name: (int(train), int(good), int(anomalous))
    for name, _, _, train, good, anomalous in _ROWS
}
