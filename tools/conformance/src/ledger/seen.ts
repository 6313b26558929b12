/** Where differences were seen, and since when they are thought to be there. */

/** Seen live. */
export const LIVE: readonly string[] = ['10.0.2'];
/** Seen live in the first release that is compared, and later ones. */
export const ALWAYS: readonly string[] = ['7.2.22', '10.0.2'];
/** Seen live in the first release that is compared, and mended since. */
export const ONCE: readonly string[] = ['7.2.22'];
/** Also seen by live probes of a later release. */
export const LATER: readonly string[] = ['10.0.2', '11.1.3'];
/** The first release that is compared. */
export const ANY = '7.2';
/** The first with stage 2. */
export const STAGE2 = '8.1';
/** Seen in all three. */
export const THROUGHOUT: readonly string[] = ['7.2.22', '10.0.2', '11.1.3'];
