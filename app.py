"""The circuit explorer: `streamlit run app.py`."""

import streamlit as st

from circuit_sparsity.ui.shell import address, frame, pickers
from circuit_sparsity.ui.shell.fields import forget_press

frame.set_up()
page = st.navigation(
    [
        st.Page("pages/circuit.py", title="Circuit", icon=":material/hub:", default=True),
        st.Page("pages/node.py", title="Node", icon=":material/radio_button_checked:"),
        st.Page("pages/prompt.py", title="Your prompt", icon=":material/edit_note:"),
        st.Page("pages/attention.py", title="Attention", icon=":material/grid_on:"),
        st.Page("pages/tokens.py", title="Tokens", icon=":material/text_fields:"),
        st.Page("pages/curves.py", title="Curves", icon=":material/show_chart:"),
        st.Page("pages/compare.py", title="Compare", icon=":material/compare_arrows:"),
        st.Page("pages/weights.py", title="Weights", icon=":material/scatter_plot:"),
        st.Page("pages/bridges.py", title="Bridges", icon=":material/link:"),
        st.Page("pages/prune.py", title="Prune", icon=":material/content_cut:"),
        st.Page("pages/tasks.py", title="Tasks", icon=":material/quiz:"),
        st.Page("pages/evidence.py", title="Evidence", icon=":material/fact_check:"),
        st.Page("pages/library.py", title="Library", icon=":material/local_library:"),
        st.Page("pages/tour.py", title="Tour", icon=":material/tour:"),
    ],
    expanded=True,
)
pickers.sidebar()
frame.link_to_this_view()
with frame.waiting() as above:
    page.run()
address.say_trouble(above)
forget_press()
