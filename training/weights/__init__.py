"""The model on its device, and computations with it besides training.

In: a spec and a Model of the inspector. Out: weights with LoRA, generated answers, the loss of each token.
May import: `rows`, `run`, `spec`, `errors`, `inspector`; torch.
"""
