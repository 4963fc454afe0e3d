# SPDX-License-Identifier: Apache-2.0
"""The shop's one application."""
