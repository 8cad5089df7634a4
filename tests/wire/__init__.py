import pytest

# What these check on behalf of the tests is to be explained as well when it fails.
for name in ("expected", "peer", "site"):
    pytest.register_assert_rewrite(f"{__name__}.{name}")
