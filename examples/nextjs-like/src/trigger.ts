// Not waiting for Monday
import { trigger } from "defer-postgres";
import weeklyProductRecommendations from "./defer/weeklyProductRecommendations";

const { id } = await trigger(weeklyProductRecommendations);

console.log(`job ${id}`);
