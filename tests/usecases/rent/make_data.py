"""Writes made-up flats and their rents as CSV: python make_data.py ROWS > rent.csv. One year in ten is not known."""

import csv
import random
import sys

DISTRICTS = {"centre": 1.5, "harbour": 1.2, "hill": 1.0, "works": 0.8}

draw = random.Random(11)
table = csv.writer(sys.stdout, lineterminator="\n")
table.writerow(["flat", "district", "area", "rooms", "built", "rent"])
for number in range(int(sys.argv[1])):
    district = draw.choice(list(DISTRICTS))
    area = round(draw.uniform(20, 140), 1)
    rooms = max(1, round(area / 28 + draw.gauss(0, 0.7)))
    built = draw.randrange(1890, 2024)
    rent = DISTRICTS[district] * (9.5 * area + 40 * rooms + 1.5 * (built - 1950)) * draw.gauss(1, 0.05) + 120
    table.writerow([f"f{number}", district, area, rooms, built if draw.random() < 0.9 else "", round(rent, 2)])
