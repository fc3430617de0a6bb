"""What was attacked, kept in one file, and the bench that attacks what is missing."""

from querytax.trials.bench import Bench
from querytax.trials.fingerprints import image_fingerprints, network_fingerprint
from querytax.trials.ground import attacker_seed, noise_seed
from querytax.trials.store import ImageRow, RunKey, Store

__all__ = [
    "Bench",
    "ImageRow",
    "RunKey",
    "Store",
    "attacker_seed",
    "image_fingerprints",
    "network_fingerprint",
    "noise_seed",
]
