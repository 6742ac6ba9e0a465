"""``python per_token_viz_demo.py``: the released demo's door; one node on each token of a text.

What it showed is the page "Tokens" of the explorer, which this opens.
"""

import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    print(
        "The page Tokens shows a node's activation on each token of a text: opening the explorer."
    )
    app = Path(__file__).resolve().parent / "app.py"
    sys.exit(subprocess.call([sys.executable, "-m", "streamlit", "run", str(app), *sys.argv[1:]]))
