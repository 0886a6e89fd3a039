"""The paper's study: sweeps, baselines, ablations and the reports of them."""
