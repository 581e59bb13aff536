"""The puller: fetches from the OCPI peers of a home and lands what they send exactly as received.

Pulling ends in the landing folder; ``chargehouse run`` then loads the pages like any delivered file. The parts, from
the wire inwards: :mod:`~pipelines.ocpi.pull.client` asks one peer (token, pauses, retries, no other host),
:mod:`~pipelines.ocpi.pull.envelope` says what an answer is, :mod:`~pipelines.ocpi.pull.paging` where the next page is,
:mod:`~pipelines.ocpi.pull.store` keeps pages and watermarks, :mod:`~pipelines.ocpi.pull.run` walks peers, modules and
windows of time.
"""
