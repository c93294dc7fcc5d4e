"""What torch, diffusers and transformers compute, written down for the tests.

`python -m scripts.reference checkpoint` writes a checkpoint with random weights for any component configs;
`python -m scripts.reference golden` runs diffusers' Kandinsky 2.1 pipelines on any checkpoint and stores every
network's, scheduler's and pipeline's numbers beside it. Needs the extra `[reference]`; nothing else imports it.
"""
