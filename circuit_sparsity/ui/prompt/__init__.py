"""The prompt page: texts as model, circuit and ablated circuit read them."""
