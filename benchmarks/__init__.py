"""Speed and quality against other libraries; ``python -m benchmarks``."""
