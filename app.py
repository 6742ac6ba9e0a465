"""The circuit explorer: `streamlit run app.py`."""

import streamlit as st

from circuit_sparsity.ui.shell import address, device, frame, pickers
from circuit_sparsity.ui.shell.fields import forget_press

frame.set_up()
HOME = st.Page("pages/home.py", title="Home", icon=":material/home:")
# The circuit stands at the address `/`, where links have always led. Hidden pages are tabs of the
# page before them: their addresses lead there as ever.
CIRCUIT = st.Page("pages/circuit.py", title="Circuit", icon=":material/hub:", default=True)
page = st.navigation(
    {
        "": [HOME, st.Page("pages/tour.py", title="Tour", icon=":material/tour:")],
        "Explore": [
            CIRCUIT,
            st.Page("pages/node.py", title="Node", icon=":material/radio_button_checked:"),
            st.Page("pages/attention.py", title="Attention", visibility="hidden"),
            st.Page("pages/tokens.py", title="Tokens", visibility="hidden"),
            st.Page("pages/weights.py", title="Weights", visibility="hidden"),
            st.Page("pages/prompt.py", title="Your prompt", icon=":material/edit_note:"),
            st.Page("pages/bridges.py", title="Bridges", icon=":material/link:"),
        ],
        "Make": [
            st.Page("pages/prune.py", title="Prune", icon=":material/content_cut:"),
            st.Page("pages/compare.py", title="Compare", icon=":material/compare_arrows:"),
            st.Page("pages/curves.py", title="Curves", visibility="hidden"),
            st.Page("pages/library.py", title="Library", icon=":material/local_library:"),
        ],
        "Trust": [
            st.Page("pages/evidence.py", title="Evidence", icon=":material/fact_check:"),
            st.Page("pages/tasks.py", title="Tasks", icon=":material/quiz:"),
            st.Page("pages/claims.py", title="Claims", icon=":material/balance:"),
        ],
    },
    expanded=True,
)
if frame.is_first_visit() and page == CIRCUIT:
    st.switch_page(HOME)
words = pickers.sidebar()
frame.link_to_this_view()
with frame.waiting() as above:
    page.run()
pickers.task_in_words(words)
device.field()
address.say_trouble(above)
forget_press()
