"""What the pages share: cached values, state, pickers, panels. Nothing else knows Streamlit."""
