"""``streamlit run circuit_sparsity/viz.py``: the released viewer's door; it leads to ``app.py``."""

import runpy
import sys
from pathlib import Path

from streamlit.runtime.scriptrunner import get_script_run_ctx

PACKAGE = Path(__file__).resolve().parent
sys.path[:1] = [str(PACKAGE.parent)]  # Streamlit put this script's own folder there
APP = PACKAGE / "app" / "app.py"  # in an installed package; in a clone it lies beside the package
APP = APP if APP.is_file() else PACKAGE.parent / "app.py"

context = get_script_run_ctx()
if context is not None:
    # Streamlit looks for pages beside the script it was started with.
    context.pages_manager._main_script_path = str(APP)
    runpy.run_path(str(APP))
