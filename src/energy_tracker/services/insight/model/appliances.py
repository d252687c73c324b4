"""Kinds of appliances, by a closed list of words: so a model can speak of a fridge without seeing its name."""

import re
from collections.abc import Mapping
from types import MappingProxyType

WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "refrigerator": ("refrigerator", "fridge", "freezer", "icebox"),
        "television": ("television", "tv", "telly"),
        "heater": ("heater", "radiator", "space heater"),
        "air conditioner": ("air conditioner", "air conditioning", "aircon", "ac unit"),
        "speaker": ("speaker", "loudspeaker", "soundbar"),
        "camera": ("camera",),
        "thermostat": ("thermostat",),
        "light": ("light", "lamp", "bulb"),
        "lock": ("door lock", "smart lock"),
        "doorbell": ("doorbell",),
        "washing machine": ("washing machine", "washer", "waschmaschine"),
        "dryer": ("dryer", "tumble dryer", "trockner"),
        "dishwasher": ("dishwasher", "spülmaschine", "geschirrspüler"),
        "oven": ("oven", "stove", "cooker", "hob"),
        "kettle": ("kettle",),
        "microwave": ("microwave",),
        "heat pump": ("heat pump",),
        "water heater": ("water heater", "boiler", "immersion heater"),
        "electric car": ("electric car", "ev charger", "wallbox", "electric vehicle", "car charger"),
        "computer": ("computer", "laptop", "desktop", "pc"),
        "server": ("server", "nas"),
        "router": ("router", "modem"),
        "printer": ("printer",),
        "games console": ("games console", "game console", "playstation", "xbox"),
        "pump": ("pool pump", "circulation pump", "aquarium", "pump"),
        "coffee machine": ("coffee machine", "coffee maker", "espresso machine"),
        "dehumidifier": ("dehumidifier", "humidifier"),
        "fan": ("ventilator", "ceiling fan"),
        "vacuum cleaner": ("vacuum cleaner", "robot vacuum"),
        "hot tub": ("hot tub", "jacuzzi", "sauna"),
    }
)
"""Each kind and the words that mean it."""

KIND_OF_TYPE: Mapping[str, str] = MappingProxyType(
    {
        "SPEAKER": "speaker",
        "CAMERA": "camera",
        "THERMOSTAT": "thermostat",
        "LIGHT": "light",
        "LOCK": "lock",
        "DOORBELL": "doorbell",
        "HEATER": "heater",
        "REFRIGERATOR": "refrigerator",
        "AIR_CONDITIONER": "air conditioner",
        "TV": "television",
    }
)

OTHER = "appliance"
"""The kind of a device that neither its type nor its name tells."""

_KIND_OF_WORD = {word: kind for kind, words in WORDS.items() for word in words}
_LONGEST_FIRST = sorted(_KIND_OF_WORD, key=len, reverse=True)
_ANY_WORD = re.compile(rf"\b({'|'.join(map(re.escape, _LONGEST_FIRST))})(?:s|es)?\b", re.IGNORECASE)


def kind_of(device_type: str, name: str) -> str:
    """Return the kind of a device by its type, or else by a word of the closed list in its name."""
    if device_type in KIND_OF_TYPE:
        return KIND_OF_TYPE[device_type]
    match = _ANY_WORD.search(name)
    return _KIND_OF_WORD[match.group(1).lower()] if match else OTHER


def claimed_kinds(sentence: str) -> set[str]:
    """Return the kinds that a sentence tells of as the reader's own: `your fridge`, not `such as televisions`."""
    claimed = set()
    for match in _ANY_WORD.finditer(sentence):
        before = re.findall(r"[a-z]+", sentence[: match.start()].lower())[-2:]
        if {"your", "the", "this", "that", "its"} & set(before):
            claimed.add(_KIND_OF_WORD[match.group(1).lower()])
    return claimed
