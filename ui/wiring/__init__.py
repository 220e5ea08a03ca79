"""What the page's boxes hold, as one value, and how events reach the handlers that read it.

In: the values of widgets. Out: Boxes, the Setup that they stand for, and the changes that a handler returned by name.
May import: `parts`, `visitors`.
"""
