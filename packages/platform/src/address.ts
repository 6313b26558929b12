/**
 * Kinds of address. All are plain numbers of bytes (52 bits fit a double exactly). A plain number may be used as any
 * kind, one kind may not be used as another: passing an `Iova` where a `Pa` belongs is a type error.
 */
type Kind<Name extends string> = number & { readonly kind?: Name };
/** Physical address. */
export type Pa = Kind<'Pa'>;
/** Intermediate physical address: the output of stage 1 and input of stage 2. */
export type Ipa = Kind<'Ipa'>;
/** I/O virtual address: what a device puts on the bus and stage 1 translates. */
export type Iova = Kind<'Iova'>;
/** CPU virtual address of a process. Under SVA the process VA is the IOVA. */
export type Va = Kind<'Va'>;

/** Formats an address or a size for a message: `0x4000_1000` as `0x40001000`. */
export const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
