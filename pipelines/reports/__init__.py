"""Files for regulators, made from a published version: read only, checked by the receiver's rules, written all or none."""
