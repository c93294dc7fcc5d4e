"""What has to be set before the first test module is imported."""

import os

# Without it MindSpore's 3×3 convolutions are a hundred times slower on CPUs with AVX-512; read at its first operator.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
