"""How good translations are: FID, KID and what they keep of their sources."""
