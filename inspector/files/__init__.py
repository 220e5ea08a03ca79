"""Files of this machine that rows and commands name: texts, images, and who may open them.

In: a name. Out: text, or the size of an image. May import: `errors`.
"""
