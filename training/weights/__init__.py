"""The model on its device, and what is computed with it beside the training.

In: a spec and a Model of the inspector. Out: weights with LoRA, generated answers, the loss of each token.
May import: `rows`, `run`, `spec`, `errors`, `inspector`; torch.
"""
