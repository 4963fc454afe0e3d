# SPDX-License-Identifier: Apache-2.0
"""Three deployments of the shop; the last one is the mistake."""
