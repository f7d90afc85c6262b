"""The one place where a device is chosen."""

import torch


def pick_device(device: str = "auto") -> torch.device:
    """The named device; for 'auto' the first there is of CUDA, MPS and CPU."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device!r} is not available here; try --device auto") from error
    return chosen
