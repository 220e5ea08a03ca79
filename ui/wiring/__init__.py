"""The values of the page's boxes as one value, and the connection of events with the handlers that read it.

In: the values of widgets. Out: Boxes, the Setup that they describe, and the changes that a handler returned by name.
May import: `parts`, `visitors`.
"""
