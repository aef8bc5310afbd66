"""What repositories are asked in ``test_every_repository``, by area, one function for each part.

Each is one unit over what those before it have left: the test knows their order.
"""

import pytest

# Their asserts tell what they saw, as those of a test do.
for _name in ("market", "platform", "rows", "strategies", "trading"):
    pytest.register_assert_rewrite(f"{__name__}.{_name}")
