"""Panel pages: one class a page, state in parameters, computation in toolkit calls."""
