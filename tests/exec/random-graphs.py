"""A thousand random graphs as code against the interpreter; the fast tests run fifty of them."""
import subprocess
import sys
from pathlib import Path

from _trainer import NETC

sys.exit(subprocess.run([Path(NETC).parent / "tests" / "unit_codegen_graphs", "1", "1000"]).returncode)
