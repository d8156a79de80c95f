/** A processor of each family that has kernels of its own: what takes long is held to these, and to all at the slow level. */
export const CODE_FAMILIES: readonly string[] = ['gfx90a', 'gfx942', 'gfx950', 'gfx1030', 'gfx1100', 'gfx1201'];
