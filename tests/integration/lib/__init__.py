# SPDX-License-Identifier: Apache-2.0
"""What the integration suites share; see tests/README.md."""
