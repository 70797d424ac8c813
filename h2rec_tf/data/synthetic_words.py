"""Words of the synthetic shop: topics, their sub-topics, and what goes with any of them."""

from __future__ import annotations

# Topic -> sub-topic -> words of its titles. The topic's own name stands in titles too.
TOPICS: dict[str, dict[str, str]] = {
    "camping": {
        "tents": "tent dome canopy pegs groundsheet awning flysheet",
        "sleeping": "mattress quilt pillow liner hammock duvet cot",
        "stoves": "burner gas kettle pot lighter windshield skillet",
        "lights": "lantern headlamp torch beam battery reflector candle",
        "packs": "backpack rucksack strap daypack pouch buckle raincover",
    },
    "kitchen": {
        "knives": "knife blade chef paring sharpener cleaver steel",
        "baking": "cake tin whisk dough oven rolling muffin",
        "coffee": "espresso grinder filter beans mug brewer roast",
        "cookware": "saucepan frying lid casserole wok copper griddle",
        "storage": "jar container canister rack shelf label airtight",
    },
    "garden": {
        "seeds": "tomato basil sunflower lettuce pepper heirloom radish",
        "tools": "spade rake hoe trowel pruner shears fork",
        "watering": "hose sprinkler nozzle drip valve bucket timer",
        "pots": "planter terracotta saucer basket trellis ceramic urn",
        "lawn": "mower grass edger fertilizer roller spreader turf",
    },
    "music": {
        "guitars": "guitar strings capo pickguard fret acoustic plectrum",
        "drums": "snare cymbal sticks pedal tom hihat bongo",
        "keyboards": "piano synth keys sustain organ stand bench",
        "recording": "microphone preamp interface cable booth monitor mixer",
        "wind": "flute clarinet reed trumpet saxophone mouthpiece oboe",
    },
    "running": {
        "shoes": "trainers sole laces cushion stability racer heel",
        "shirts": "tee vest singlet sleeve mesh breathable jersey",
        "watches": "watch tracker pulse gps chrono pace altimeter",
        "nutrition": "gel electrolyte bar protein hydration powder caffeine",
        "recovery": "foam compression massage brace tape balm icepack",
    },
    "cycling": {
        "wheels": "rim spoke hub tyre tube tubeless axle",
        "brakes": "caliper rotor pad lever hydraulic disc cantilever",
        "helmets": "helmet visor chinstrap aero shell padding commuter",
        "drivetrain": "chain cassette derailleur crank sprocket bottom chainring",
        "clothing": "bib gloves overshoes gilet windproof armwarmer thermal",
    },
    "painting": {
        "watercolour": "watercolour pan wash pigment gouache sable cobalt",
        "oils": "oil linseed turpentine palette umber varnish titanium",
        "brushes": "brush bristle round fan filbert handle hog",
        "paper": "pad sheet coldpress sketchbook grain tracing cardboard",
        "easels": "easel tripod tabletop clamp studio folding mast",
    },
    "photography": {
        "lenses": "lens zoom prime aperture macro telephoto wideangle",
        "cameras": "camera sensor mirrorless shutter body viewfinder compact",
        "support": "monopod ballhead gimbal plate clampmount slider boom",
        "lighting": "flash softbox diffuser strobe umbrella ringlight gelset",
        "film": "negative developer darkroom enlarger fixer roll monochrome",
    },
    "skincare": {
        "cleansers": "cleanser foaming micellar soap exfoliating rinse scrub",
        "moisturisers": "cream lotion hyaluronic aloe butter ceramide balmy",
        "sunscreen": "sunscreen spf mineral zinc shade aftersun bronzing",
        "masks": "mask clay charcoal peel sheetmask mud collagen",
        "serums": "serum vitamin retinol niacinamide dropper peptide acid",
    },
    "books": {
        "mystery": "detective murder clue inspector alibi manor suspect",
        "romance": "heart summer wedding love duke letter kiss",
        "science": "galaxy robot orbit starship quantum colony alien",
        "history": "empire war queen revolution castle century treaty",
        "cooking": "recipes soups vegetarian pasta desserts spices feast",
    },
}

QUALITIES = """
    classic compact deluxe everyday gentle heavy light modern natural original portable premium pro quick quiet simple
    slim soft solid sturdy ultra vintage warm wide
"""
MAKERS = """
    Alder Birch Cedar Delta Ember Falcon Granite Harbor Indigo Juniper Kestrel Lark Maple Nimbus Orchid Pine Quartz
    River Sierra Tundra Umbra Vale Willow Yarrow Zephyr
"""
KINDS = "set kit pair edition collection bundle series model"
