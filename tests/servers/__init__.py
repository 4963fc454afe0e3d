# SPDX-License-Identifier: Apache-2.0
"""S3 servers for the tests, and a proxy that fails on purpose; see tests/README.md."""
