"""The package `maskscope` as it is installed, not as it lies in the checkout."""
