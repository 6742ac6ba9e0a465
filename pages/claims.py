"""The paper's claims beside what was measured here."""

from circuit_sparsity.ui.compare import claims
from circuit_sparsity.ui.shell.page import page

page("Claims", claims.section)
