"""The page's JavaScript: its types, and under node what its components compute before they draw."""
