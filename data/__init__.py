"""Everything that is a choice or a table: schemas, schemes, factors, source profiles, catalogues, the demo city.

`data/README.md` names source, licence, date and units of each file. Code holds no table of numbers.
"""
