"""The desk: a page in the browser on which a scholar sees, decides, and restores again. NumPy, no PyTorch."""
