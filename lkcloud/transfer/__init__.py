# SPDX-License-Identifier: Apache-2.0
"""How bytes travel: parts, workers, retry, pacing and the journal of receipts; one engine for every cloud."""
